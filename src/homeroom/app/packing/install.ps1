# UNTESTED: nobody has run this file yet.
# Homeroom does not run on Windows itself. This hands the pack to Linux inside Windows (WSL 2), which must be set up already:
#   powershell -ExecutionPolicy Bypass -File install.ps1 [DIR]      DIR: a folder inside Linux, ~/homeroom-app when omitted
param([string]$Dir = "~/homeroom-app")

if (-not (Get-Command wsl.exe -ErrorAction SilentlyContinue)) {
    [Console]::Error.WriteLine("error: Homeroom needs WSL 2 on Windows, and wsl.exe is not here. Set up WSL 2 with a Linux, then run this again.")
    exit 2
}
$Pack = (wsl.exe wslpath -a ($PSScriptRoot -replace '\\', '/'))
if ($LASTEXITCODE -ne 0) {
    [Console]::Error.WriteLine("error: WSL has no Linux that starts. Set one up (wsl --install), then run this again.")
    exit 2
}
wsl.exe sh "$Pack/install.sh" "$Dir"
exit $LASTEXITCODE
