from app.evaluate.page import page

page()
