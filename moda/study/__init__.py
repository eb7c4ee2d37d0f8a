"""A user study: one static page that shows videos blind, and what many people's answers to it say."""
