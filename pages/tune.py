from app.tune.page import page

page()
