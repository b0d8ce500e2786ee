"""The parts of finding a final answer; ``mmpr.answers.extract`` puts them together. Each imports only parts above it::

languages  families  tables: the words by which answers are named; the marks that model families write
found                what is found: an answer, a naming
stance               whether a naming is meant, or refused, assumed, on a condition
phrases              the namings of a text
bare  boxes          lines that are nothing but an answer; \\boxed{}
clip                 from a naming to the answer itself
marked  unmarked     strong and weak forms; answers that nothing marks
"""
