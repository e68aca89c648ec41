"""What pages put on the screen, a file a page, and what several of them share: choosers, players, words."""
