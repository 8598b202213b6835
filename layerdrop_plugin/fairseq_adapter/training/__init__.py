"""Trainings begin, go on and drop layers here."""
