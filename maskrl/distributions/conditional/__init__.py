"""How a conditional action is computed: its heads, paths through them, and all prefixes."""
