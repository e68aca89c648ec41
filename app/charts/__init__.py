"""Results -> plotly figures, a file a page. No streamlit here: a figure depends on its arguments alone."""
