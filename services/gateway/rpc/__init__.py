"""What may be asked of the gateway over gRPC: translate, call, translate back."""
