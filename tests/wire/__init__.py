"""
What is refused on the wire and what passes: dialogues with their verdicts, from the RFCs.
"""
