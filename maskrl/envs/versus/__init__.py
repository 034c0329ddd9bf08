"""Games whose players take turns, as environments with one agent: the others are opponents.

`engine` says what many games side by side offer, whoever plays them; `settings` who sits
where; `vector_env` is the environment of the one seat that learns, its opponents asked in
one call for all games; `single_env` is the same for one game, with pictures.
"""
