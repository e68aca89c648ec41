from app.train.page import page

page()
