"""The panda world: a panda, a watermelon, two enemies, bananas to throw, trees to hide behind.

`settings` and `rules` say what the world is, `layouts` where things stand,
`stepping` moves many worlds in one compiled loop, `observation` writes what the
panda is told. `vector_env` and `single_env` are the Gymnasium environments,
`planner` and `reference` the exact ceiling to measure agents against, `scene`,
`drawing` and `ansi` the pictures.
"""
