"""The world of many pandas: 2 to 64 of them on one grid, their watermelons, and scorpions.

`settings` and `rules` say what the world is, `layouts` where things stand, `world` how it
is kept, `stepping` moves many worlds in one compiled loop, `scene_view` and `grid_view`
write what a policy is told, as entities and as planes of the grid. `vector_env`,
`single_env` and `parallel_env` are the environments of Gymnasium and PettingZoo, `script`
a team that sees everything, `planner` the exact ceiling for two pandas on a small grid.
"""
