"""WedSync: one canonical record per wedding, held in step with every vendor's own system."""
