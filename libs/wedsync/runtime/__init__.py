"""What every service runs on: settings, server, principals, telemetry, database, secrets."""
