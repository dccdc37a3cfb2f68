"""Divides by zero at the first row."""


def columns(record, rows):
    return {"half": [1 / (int(number) - int(number)) for number in rows["number"]]}
