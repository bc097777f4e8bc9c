"""A small table for a first run: 36 made-up replies of customer support, and their rubric.

``replies.jsonl`` holds one reply per line: ``ticket`` (t01 to t12, the group), ``question`` (what
the customer asks), ``reply`` (the text to rate) and ``human_resolution``, ``human_courtesy`` and
``human_clarity``, integers from 1 to 5. Each of the 12 questions has three replies.
``rubric.toml`` holds the criteria. Shops, products and people are invented.

The ratings are made by construction: nobody rated the replies afterwards. A plan of 36 triples of
levels came first, and each reply was written to show its triple; the columns hold the plan. They
are therefore cleaner than a panel's ratings: a judge's agreement with them shows that it can
distinguish the features below, not how well it rates real replies.

Resolution, what the reply says, in whatever words:
    5. The answer, the step to take and all that it needs, times included.
    4. The answer and the step, but the deadline or the opening hours it depends on are left out.
    3. The answer (what is possible, what is wrong), but no step to take.
    2. No answer; the customer is sent elsewhere: to a page, a leaflet, a rule, another desk.
    1. About another matter than the one asked about.

Courtesy, the tone:
    5. A greeting, thanks or an apology, and a friendly close.
    4. Thanks or an apology, without greeting and close.
    3. None of these; civil and matter-of-fact.
    2. None of these, and a remark that is impatient or blames the customer.
    1. An insult or mockery.

Clarity, how the message is put, apart from greeting and close:
    5. Short sentences in everyday words and in a sensible order.
    4. The same, but with one trade term that is not explained.
    3. In order, but with two unexplained codes and one sentence of more than 30 words.
    2. One sentence of more than 35 words, clauses nested inside clauses, with an unexplained code.
    1. Fragments: sentences break off, words refer to nothing, the order is jumbled.

In the plan each criterion uses its levels 7, 7, 8, 7 and 7 times, the three replies to a question
have three different levels of each criterion, no triple occurs twice, and no two criteria
correlate. The replies are of nearly equal length, 39 to 51 words, so that length tells
nothing either.
"""
