"""YAML to checked rules, and the matching index.
What users write becomes `model.rule.Rule` here, or a list of mistakes with place and mend. No I/O but reading the given text.
"""
