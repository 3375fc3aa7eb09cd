"""What we run: four programs that never import each other."""
