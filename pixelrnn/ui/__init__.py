"""The page of `pixelrnn serve`: paint what is hidden, watch it being completed. The tabs, answers.py and page.py know Gradio."""
