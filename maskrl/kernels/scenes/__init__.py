"""Attention between the entities of many small scenes, compiled for the CPU.

A scene is a few dozen rows of features, so nothing leaves the nearest cache: for one head of one
scene its rows are packed, scores lie keys first with 8 or 16 queries side by side in a vector,
and products, mask, softmax and the way back follow one another there. Nothing of the size
[E, E] is ever written to memory. Empty rows need no guard around it: their sum is 0, and what
would be divided by it becomes 0. What a mask excludes is selected away and never multiplied.

    forward(plan, room) -> 0
    gradient(plan, room) -> 0

`plan` is the address of `plan.ScenePlan`'s numbers, `room` that of working memory of a part.
"""
