"""YAML to checked rules, the matching index, and what is shown of a rule.

What users write becomes `model.rule.Rule` here, or a list of mistakes with place and mend. `load` is the way
in. No I/O but reading the files that were named; what the check needs of the settings comes as
`Surroundings`.
"""
