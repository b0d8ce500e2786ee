"""What all HTML pages of mmpr share: the frame of a page, text made safe to show, charts, pictures, templates.

frame.py       a whole page as one file, with its style, script and Content-Security-Policy; fills in templates
safe_text.py   text of models and datasets, escaped, bounded, with hidden characters made visible
responses.py   a response with its final answer and its differences marked
pictures.py    small copies of pictures
charts.py      histograms as inline SVG
"""
