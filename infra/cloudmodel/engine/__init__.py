"""The embedded engine: Pulumi programs in this process, with Pulumi's own checkpoint.

`state`, `step`, `goal` are data; `diff`, `planner`, `integrity` are pure; `executor`, `monitor`, `checkpoint`,
`journal`,
`backend` are the edge. Rules I1 to I19 are in docs/engine.md.
"""
