"""Games of lines on a board, connect four and tic-tac-toe: compiled rules, search, pictures.

`board` says what such a game is, `rules` plays one move, `engine` plays many games side by
side exactly as PettingZoo's own environments do, only faster. `search` looks moves ahead,
`opponents` are players made from it, `ansi` and `drawing` show a board.
"""
