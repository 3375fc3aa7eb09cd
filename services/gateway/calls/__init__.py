"""How vendors are called: with a valid token, within what they allow, and not while they are down."""
