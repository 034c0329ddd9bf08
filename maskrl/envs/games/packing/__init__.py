"""The packing world: a rucksack is filled, item by item, from a set of offers that varies.

`settings` and `rules` say what the world is, `layouts` what is offered, `stepping`
moves many worlds in one compiled loop, `observation` writes what the agent is told.
`vector_env` and `single_env` are the Gymnasium environments, `planner` and
`reference` the exact optimum to measure agents against, `scene`, `ansi` and
`drawing` the pictures.
"""
