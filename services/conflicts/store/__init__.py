"""What the conflicts service keeps in Postgres: conflicts, decisions, and what is to be done."""
