"""One folder per vendor: `manifest.yaml` and, where a manifest cannot say it, `adapter.py`."""
