from app.classify.page import page

page()
