"""PostgreSQL, Valkey and Ray as supervised child processes, for one machine and for tests."""
