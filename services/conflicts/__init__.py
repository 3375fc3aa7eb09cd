"""Who disagrees about what: collisions become conflicts that people can see."""
