"""The paper's result in small: what preference training does to the quickstart's model, beside other objectives."""
