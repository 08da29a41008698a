from program_plans import bundle, evaluate, project

__all__ = ["bundle", "evaluate", "project"]
