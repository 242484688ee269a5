"""The look of the report: one style sheet, light and dark, wide and narrow, screen and print."""

from __future__ import annotations

STYLE = """
:root{--paper:#f7f6f2;--card:#fff;--ink:#1d2530;--soft:#5a6572;--line:#dcdad2;--better:#0b6e6e;--worse:#b4510f;--tie:#c9c6bb;
--accent:#27477a;--good:#e2f1ec;--bad:#faeadd;--wait:#fbf3d6;--chip:#eeece5;--learner:#e9eef7;--radius:12px} @media
(prefers-color-scheme:dark){:root{--paper:#14181d;--card:#1c2229;--ink:#e8e6df;--soft:#a5adb7;--line:#343c46;--better:#5cc4bd;
--worse:#f0a267;--tie:#565d66;--accent:#9dbbee;--good:#16352f;--bad:#40291a;--wait:#3a331a;--chip:#2a313a;--learner:#222d3d}}
*{box-sizing:border-box} html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 ui-sans-serif,system-ui,-apple-system,"Segoe
UI",Roboto,"Noto Sans",sans-serif} header,main{max-width:1080px;margin:0 auto;padding:0 20px} header{padding-top:32px}
header p{color:var(--soft);margin:.2em 0 0} h1,h2,h3{font-family:ui-serif,Georgia,"Noto
Serif",serif;line-height:1.2;font-weight:600;text-wrap:balance} h1{font-size:1.9rem;margin:0}
h2{font-size:1.35rem;margin:48px 0 6px} h3{font-size:1.05rem;margin:0 0 8px} p{max-width:74ch}
.lead{color:var(--soft);margin:0 0 16px} .card,.verdict{background:var(--card);border:1px solid
var(--line);border-radius:var(--radius);padding:20px 22px} .verdict{margin-top:22px;border-left:8px solid var(--accent)}
.verdict.promote{border-left-color:var(--better);background:var(--good)}
.verdict.practice{border-left-color:#b8901a;background:var(--wait)}
.verdict.reject{border-left-color:var(--worse);background:var(--bad)} .verdict
.label{font-size:.82rem;letter-spacing:.06em;text-transform:uppercase;color:var(--soft);margin:0} .verdict h2{margin:2px
0 6px;font-size:1.6rem} .verdict ul{margin:10px 0 0;padding-left:1.2em} .verdict li{margin:.3em 0;max-width:88ch}
.verdict li.gain::marker{content:"+ ";color:var(--better);font-weight:700} .verdict
li.miss::marker{content:"\\2013\\00a0";color:var(--worse);font-weight:700}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:12px;margin-top:18px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:var(--radius);padding:14px 16px} .tile
.name{font-size:.86rem;color:var(--soft);margin:0;min-height:2.6em;line-height:1.3} .tile .big{font:600 1.9rem/1.1
ui-serif,Georgia,serif;margin:2px 0 6px;font-variant-numeric:tabular-nums} .tile
dl{display:grid;grid-template-columns:1fr auto;gap:1px 8px;margin:0;font-size:.84rem;color:var(--soft)} .tile
dd{margin:0;font-variant-numeric:tabular-nums;text-align:right}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:var(--radius)}
table{border-collapse:collapse;width:100%;font-size:.92rem} caption{text-align:left;color:var(--soft);padding:12px 14px
4px;font-size:.88rem} th,td{padding:8px 14px;text-align:right;border-top:1px solid
var(--line);vertical-align:top;font-variant-numeric:tabular-nums}
th:first-child,td:first-child{text-align:left;position:sticky;left:0;background:var(--card);min-width:150px} thead
th{border-top:0;font-weight:600;vertical-align:bottom} .figures thead th+th{width:17%} tbody th{font-weight:400} td
small,th small{display:block;color:var(--soft);font-size:.78rem;white-space:nowrap;font-weight:400}
td.lead-col{font-weight:600} .words td,.words th{text-align:left} .words td{overflow-wrap:anywhere;min-width:9ch} .words
td.mark{white-space:nowrap;overflow-wrap:normal} .effect{display:grid;grid-template-columns:minmax(150px,1.3fr)
minmax(120px,3fr) minmax(150px,1.2fr) minmax(110px,1fr);gap:2px 16px; align-items:center;padding:9px 0;border-top:1px
solid var(--line)} .effect .name{font-weight:500;line-height:1.3} .effect
.num{font-variant-numeric:tabular-nums;font-size:.9rem} .effect .num small{color:var(--soft);display:block} .effect
svg{width:100%;height:30px;display:block}
.effect.head{border-top:0;color:var(--soft);font-size:.84rem;padding-bottom:4px} .effect.head
.ends{display:flex;justify-content:space-between} svg line{vector-effect:non-scaling-stroke}
.zero{stroke:var(--soft);stroke-width:1px;stroke-dasharray:3 3}
.span{stroke-width:3px;stroke:var(--soft)}.dot{stroke-width:11px;stroke-linecap:round;stroke:var(--soft)} .better
.span,.better .dot{stroke:var(--better)}.worse .span,.worse .dot{stroke:var(--worse)} .better .num
b{color:var(--better)}.worse .num b{color:var(--worse)}
.wtl{display:flex;height:12px;border-radius:6px;overflow:hidden;background:var(--tie)} .wtl i{display:block}.wtl
.w{background:var(--better)}.wtl .t{background:var(--tie)}.wtl .l{background:var(--worse)}
.counts{font-size:.8rem;color:var(--soft);font-variant-numeric:tabular-nums} .talk{margin:18px 0 26px} .talk
.why{display:inline-block;font-size:.8rem;border-radius:99px;padding:2px
10px;background:var(--chip);color:var(--soft);margin:0 6px 10px 0}
.turn{max-width:80ch;border-radius:var(--radius);padding:9px 14px;margin:6px
0;white-space:pre-wrap;overflow-wrap:anywhere;background:var(--chip)} .turn.user{background:var(--learner)} .turn
b{display:block;font-size:.78rem;color:var(--soft);font-weight:600} details{margin:6px
0}summary{cursor:pointer;color:var(--accent)}
.replies{display:grid;grid-template-columns:repeat(auto-fit,minmax(220px,1fr));gap:12px;margin-top:12px}
.reply{border:1px solid var(--line);border-radius:var(--radius);padding:12px
14px;background:var(--card);display:flex;flex-direction:column} .reply.candidate{border:2px solid var(--accent)}
.reply.authored{border-style:dashed} .reply p{white-space:pre-wrap;overflow-wrap:anywhere;margin:0 0 10px;flex:1}
.chips{display:flex;flex-wrap:wrap;gap:5px} .chip{font-size:.78rem;border-radius:99px;padding:1px
9px;background:var(--bad);color:var(--ink)} .chip.ok{background:var(--good)} .empty{color:var(--soft);font-style:italic}
code{font:.86em ui-monospace,SFMono-Regular,Menlo,monospace;overflow-wrap:anywhere}
.note{color:var(--soft);font-size:.9rem} main{padding-bottom:64px} @media (max-width:700px){
header,main{padding-left:14px;padding-right:14px} h1{font-size:1.5rem}.verdict
h2{font-size:1.35rem}.card,.verdict{padding:16px} .tiles{grid-template-columns:minmax(0,1fr) minmax(0,1fr)}.tile
.big{font-size:1.55rem} .effect{grid-template-columns:1fr 118px;grid-template-areas:"name num" "plot bar";gap:2px 12px}
.effect .name{grid-area:name}.effect .num{grid-area:num;text-align:right}.effect .plot{grid-area:plot}.effect
.bar{grid-area:bar} .effect.head .num,.effect.head .bar,.effect.head .name{display:none} th,td{padding:7px
10px}th:first-child,td:first-child{min-width:118px;max-width:132px} .words th:first-child,.words
td:first-child{position:static;max-width:none} } @media
print{body{background:#fff}.card,.verdict,.tile,.reply,.talk{break-inside:avoid}details{display:none}}
"""
