"""What libraries say of an error, for ours, which are one line each."""


def one_line(error: object, most: int | None = None) -> str:
    """The text without its line breaks, cut to so many letters."""
    return ' '.join(str(error).split())[:most]
