"""microRTS, the real engine: a small real-time strategy game in which every unit is an agent.

`settings` and `maps` say what is played, `installation` where the package with the engine
is, `jvm` starts Java, `games` hands games to the engine and arrays back, `arrays` turns its
buffers into observations. `vector_env` and `single_env` are the Gymnasium environments,
`scene`, `ansi` and `drawing` the pictures. Java is started when an environment is made, and
nothing here is imported before.
"""
