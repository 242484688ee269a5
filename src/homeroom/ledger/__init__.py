"""What things cost: prices that carry their date, and what was spent."""
