"""The outpost world: each step one command, to a unit of one's choice, with its own parameters.

`settings` and `rules` say what the world is and how a command is built, `layouts` where
things stand, `observation` what the commander is told and may order, `stepping` moves
many outposts in one compiled loop. `vector_env` and `single_env` are the Gymnasium
environments, `planner` and `reference` the exact best and random returns, `drawing` the
pictures.
"""
