"""Pictures of molecules, their groups of atoms, and their scores as rows."""
