"""From a recipe to pairs and a judged answer, with the model that comes with mmpr; no GPU, about a minute."""

import mmpr

few = ["sources=[{name: digits, type: digits, split: train, questions: 24}]", "heldout=[]", "sampling.samples=4"]
build = mmpr.build_dataset("quickstart", "builds/tour", overrides=["name=tour", *few])
rollout = next(build.rollouts())
print(rollout.prompt, "->", rollout.responses[0].text)
pair = next(build.pairs())
print("chosen  ", pair.chosen, "\nrejected", pair.rejected)
print(mmpr.extract("Two plus three is five.\nFinal answer: 5"), mmpr.match("5.0", "5").status)
print([verdict.status for verdict in mmpr.judge(["Final answer: 5", "Final answer: 6", "I see."], "5")])
print(mmpr.reward_function()(completions=["Final answer: 5"], answer=["5"]))
print(mmpr.export_pairs("builds/tour", "trl", "builds/tour-trl")["counts"]["pairs"], "pairs for TRL")
