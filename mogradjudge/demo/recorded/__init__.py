"""A whole run that a large model answered: its texts, and its replies by the prompts' digests.

``texts.jsonl`` holds 72 made-up replies of an outdoor shop, each to a question of its own
(``ticket``, the group). The ratings are made by construction: a plan of levels came first, each
reply was put together to show its levels, and nobody rated it afterwards. They follow house rules
that the rubric does not tell:

Resolution, what the reply holds:
    5. The answer, what to do, and by when or at what times.
    4. The name and extension of the colleague who can help.
    3. The answer alone.
    2. The answer and what to do, without the time: who comes at the wrong time is worse off.
    1. Nothing on the question.

Tone:
    5. One plain word of thanks or regret.
    4. None, civil.
    3. Stiff formulas of letters.
    2. Gushing.
    1. Impatient.

Directness:
    5. The point comes first, apart from a greeting.
    3. After one sentence about something else.
    2. After two of them.
    1. It comes first, but with codes that nobody explains.

``a-large-model.jsonl`` holds the replies of a large model to all prompts of one run: mode SSC, four
steps, seed 0. A reply is found by its prompt, so everything else is computed anew each time.
"""
