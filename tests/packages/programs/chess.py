import chess

board = chess.Board()
for move in ("e4", "e5", "Qh5", "Nc6", "Bc4", "Nf6", "Qxf7#"):
    board.push_san(move)
print(board.is_checkmate(), board.fen())
