"""How the joint choice of many agents is computed: where they are, and what each chooses."""
