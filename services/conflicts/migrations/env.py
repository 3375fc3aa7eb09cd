"""Runs this service's migrations."""

from wedsync.runtime.migrations import run_env

run_env()
