"""Tests of the tables of panels and alerts, and of the rule file made from them."""
