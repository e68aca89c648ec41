from app.confusion.page import page

page()
