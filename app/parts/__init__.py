"""What pages share: clips and films, models and scored sets, choosers, jobs, words."""
