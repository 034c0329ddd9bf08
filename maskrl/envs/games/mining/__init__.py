"""The mining worlds: workers that harvest, one order each step, to a unit of one's choice.

An own clone of the harvesting task of gym-microrts 0.1.2, faithful in board, actions,
feature planes, rewards and in what becomes of an order that cannot be carried out.
`settings` has units and costs, `layouts` the four maps, `rules` what is legal and what an
order does, `observation` the planes and the masks of three strengths, `stepping` the
compiled loop. `vector_env` and `single_env` are the Gymnasium environments, `script` and
`reference` what can be reached, `scene` a moment for pictures, `saved` what a state from a
file must be like.
"""
