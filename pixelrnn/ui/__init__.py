"""The page of `pixelrnn serve`: paint the hidden region of an image, and watch it being completed.

server.py        serves the page to this machine
page.py          the page: the menu of models, the tabs, and the Orderings tab
complete_tab.py  the Complete tab
sample_tab.py    the Sample tab
events.py        how the tabs answer events, and the panel that draws; the files above and this one know Gradio
painter, player, choices, each .html and .js: parts in the browser, which paint, replay and choose
request.py       what a visitor asks for: model, target, mask and choices
painted.py       what a visitor paints, as text
session.py       a draw in a thread, which can be watched and cancelled
drawn.py         what is drawn, with its files
ways.py          ways to complete the same image, side by side
views.py         all this as HTML
"""
