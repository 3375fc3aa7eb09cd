"""What stands in for the outside world: vendor systems for the sandbox and for tests."""
