from app.semantic_gap.page import page

page()
